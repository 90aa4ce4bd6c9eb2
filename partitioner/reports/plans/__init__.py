"""A plan in a sentence, in rows and in JSON; several bundles or three machines side by side."""
