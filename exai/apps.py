from django.apps import AppConfig


class ExaiConfig(AppConfig):
    name = "exai"
    verbose_name = "Hub"
