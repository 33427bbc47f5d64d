"""What was trained on its way to the Hugging Face hub, and the cards that go with it."""
