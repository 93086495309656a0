"""The log read again: accounts, explanations, audits and re-ratings, without sending anything."""
