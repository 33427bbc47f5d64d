"""`ufc serve`: the model behind the OpenAI images API, for a team. Needs the extra `serve`."""
