"""taskiq over RabbitMQ with results in Redis: what its documentation recommends for production."""
