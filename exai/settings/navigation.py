"""What stands at the side of every admin page. A new page is entered here, else it is only found from the index."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy


def _item(title: str, icon: str, url_name: str, *, model: str) -> dict[str, Any]:
    """A link for whoever may see or change that model (`app.model`); `icon` is a name of Material Symbols."""
    app, _, name = model.partition(".")

    def may_see(request: HttpRequest) -> bool:
        return any(request.user.has_perm(f"{app}.{action}_{name}") for action in ("view", "change"))

    return {"title": title, "icon": icon, "link": reverse_lazy(url_name), "permission": may_see}


NAVIGATION = [
    {
        "title": "Look",
        "items": [
            _item("Connections", "cable", "connections", model="exai.apiclient"),
            _item("Usage", "payments", "usage", model="conversations.toolcall"),
            _item("Calls", "bolt", "admin:conversations_toolcall_changelist", model="conversations.toolcall"),
            _item(
                "Conversations",
                "forum",
                "admin:conversations_conversation_changelist",
                model="conversations.conversation",
            ),
            _item("Files", "draft", "admin:conversations_storedfile_changelist", model="conversations.storedfile"),
        ],
    },
    {
        "title": "Models",
        "items": [
            _item("Endpoints", "hub", "admin:exai_providerendpoint_changelist", model="exai.providerendpoint"),
            _item("Models", "neurology", "admin:exai_providermodel_changelist", model="exai.providermodel"),
            _item("Prices", "payments", "admin:exai_modelprice_changelist", model="exai.modelprice"),
            _item("Routes", "alt_route", "admin:exai_modelroute_changelist", model="exai.modelroute"),
        ],
    },
    {
        "title": "Access",
        "items": [
            _item("Clients", "key", "admin:exai_apiclient_changelist", model="exai.apiclient"),
            _item("Budgets", "savings", "admin:exai_budget_changelist", model="exai.budget"),
            _item("Users", "person", "admin:auth_user_changelist", model="auth.user"),
            _item("Groups", "group", "admin:auth_group_changelist", model="auth.group"),
        ],
    },
]
