from exai.models.api_client import ApiClient, Scope

__all__ = ["ApiClient", "Scope"]
