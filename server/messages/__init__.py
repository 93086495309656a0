"""The types of bodies and answers: what is decoded and encoded, and what the OpenAPI document is made from."""
