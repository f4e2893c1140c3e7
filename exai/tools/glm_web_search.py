"""glm_web_search: Z.ai's web search by itself, without a model. https://docs.z.ai/api-reference/tools/web-search"""

from typing import Literal

import msgspec
from pydantic import Field

from exai.tools.base import Tool, ToolAnswer, json_answer
from exai.tools.context import ToolContext
from exai.tools.vendor_input import VendorInput
from exai.tools.vendors import Search


class GlmWebSearchInput(VendorInput):
    search_query: str
    count: int = Field(10, description="Pages: 1 to 50.")
    search_engine: str = "search-prime"
    search_domain_filter: str | None = Field(None, description="Only pages of this domain.")
    search_recency_filter: Literal["oneDay", "oneWeek", "oneMonth", "oneYear", "all"] = "all"
    request_id: str | None = Field(None, description="Passed on to the vendor.")
    user_id: str | None = Field(None, description="Passed on to the vendor.")


class GlmWebSearch(Tool[GlmWebSearchInput]):
    name = "glm_web_search"
    description = "Search the web through GLM (Z.ai): addresses, titles, dates and summaries of pages, without a model."
    input_model = GlmWebSearchInput

    async def run(self, arguments: GlmWebSearchInput, context: ToolContext) -> ToolAnswer:
        context.vendors.check("glm")
        await context.progress("Searching the web")
        recency = arguments.search_recency_filter
        pages = await context.vendors.search(
            Search(
                query=arguments.search_query,
                count=arguments.count,
                recency="noLimit" if recency == "all" else recency,
                domain=arguments.search_domain_filter or "",
                # Each platform has an engine of its own, which counts unless the caller names one.
                engine=arguments.search_engine if "search_engine" in arguments.model_fields_set else "",
                request_id=arguments.request_id or "",
                user_id=arguments.user_id or "",
            )
        )
        results = [{**msgspec.to_builtins(page.source), "content": page.content, "site": page.site} for page in pages]
        return json_answer({"query": arguments.search_query, "count": len(results), "results": results})
