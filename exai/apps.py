from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class ExaiConfig(AppConfig):
    name = "exai"
    verbose_name = "Hub"

    def ready(self) -> None:
        autodiscover_modules("providers_admin", "files_admin")
