"""dramatiq over RabbitMQ with the result backend that it recommends, Redis."""
