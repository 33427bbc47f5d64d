"""What a picture is conditioned on: text, references, known tokens."""
