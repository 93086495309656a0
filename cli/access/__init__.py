"""Commands about who may do what: keys, link, changes."""
