"""OpenAI's dialect: the routes below ``/v1``."""
