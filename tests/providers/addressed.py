"""An endpoint by itself, for what is asked of a vendor beside its models."""

from exai.providers.endpoint import Endpoint


def endpoint(name: str, url: str, key: str, *, key_setting: str = "THE_KEY", read_timeout_s: float = 5) -> Endpoint:
    return Endpoint(
        name=name,
        base_url=url,
        key=key,
        key_setting=key_setting,
        connect_timeout_s=5,
        read_timeout_s=read_timeout_s,
    )
