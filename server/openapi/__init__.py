"""The OpenAPI document of the API, made from the table of operations and their types; and what is made from it."""
