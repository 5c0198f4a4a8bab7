"""FastAPI, Celery, RabbitMQ and Redis as tutorials put them together."""
