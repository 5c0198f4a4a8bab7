"""The service in containers, as docker-compose.yml has it: ./dev compose."""
