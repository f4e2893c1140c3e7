from exai.models.api_client import ApiClient, Scope, ToolProfile
from exai.models.budget import Budget, BudgetPeriod, BudgetUnit
from exai.models.model_price import ModelPrice
from exai.models.model_route import ModelRoute, RouteName
from exai.models.provider_endpoint import ProviderEndpoint
from exai.models.provider_model import ProviderModel
from exai.models.provider_revision import ProviderRevision

__all__ = [
    "ApiClient",
    "Budget",
    "BudgetPeriod",
    "BudgetUnit",
    "ModelPrice",
    "ModelRoute",
    "ProviderEndpoint",
    "ProviderModel",
    "ProviderRevision",
    "RouteName",
    "Scope",
    "ToolProfile",
]
