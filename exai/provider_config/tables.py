"""The rows of the provider tables as values, all of one moment."""

from datetime import datetime
from typing import LiteralString

import msgspec

from exai.providers.base import Price
from exai.providers.overrides import ModelOverride

REVISION: LiteralString = "SELECT coalesce((SELECT revision FROM provider_revision WHERE id = 1), 0)"

# One statement sees one state of all tables, and the revision that goes with it. Of prices it gives those in force.
TABLES: LiteralString = """
SELECT jsonb_build_object(
    'revision', coalesce((SELECT revision FROM provider_revision WHERE id = 1), 0),
    'endpoints', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'name', name, 'enabled', enabled, 'url', url, 'sealed_key', sealed_key, 'max_inflight', max_inflight
        ) ORDER BY name), '[]') FROM provider_endpoints),
    'models', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'provider', provider, 'id', model_id, 'enabled', enabled, 'context', context, 'output', output,
            'vision', vision, 'thinking', thinking, 'tools', tools, 'web_search', web_search,
            'aliases', array_remove(array_remove(aliases, NULL), '')
        ) ORDER BY id), '[]') FROM provider_models),
    'prices', (
        SELECT coalesce(jsonb_agg(newest), '[]') FROM (
            SELECT DISTINCT ON (provider, model_id) provider, model_id AS id, jsonb_build_object(
                'input', input, 'output', output, 'cached', cached, 'version', version) AS price
            FROM model_prices WHERE effective_from <= now() ORDER BY provider, model_id, effective_from DESC
        ) AS newest),
    'routes', (
        SELECT coalesce(jsonb_object_agg(name, array_remove(array_remove(model_names, NULL), '')), '{}')
        FROM model_routes),
    'next_price_at', (SELECT min(effective_from) FROM model_prices WHERE effective_from > now())
)::text
"""


class EndpointRow(msgspec.Struct, frozen=True):
    """`sealed_key` is opened by exai.sealing; all that is empty stays as the environment says."""

    name: str
    enabled: bool = True
    url: str = ""
    sealed_key: str = ""
    max_inflight: int | None = None


class ModelRow(ModelOverride, frozen=True, kw_only=True):
    provider: str


class PriceRow(msgspec.Struct, frozen=True):
    provider: str
    id: str
    price: Price


class ProviderTables(msgspec.Struct, frozen=True):
    """`next_price_at`: the prices change then, though no row does."""

    revision: int = 0
    endpoints: tuple[EndpointRow, ...] = ()
    models: tuple[ModelRow, ...] = ()
    prices: tuple[PriceRow, ...] = ()
    routes: dict[str, tuple[str, ...]] = {}
    next_price_at: datetime | None = None


_decoder = msgspec.json.Decoder(ProviderTables)


def parse_tables(text: str) -> ProviderTables:
    """What the statement `TABLES` gave. Raises `msgspec.DecodeError`."""
    return _decoder.decode(text)
