"""Commands that were set aside: read, corrected and sent again."""
