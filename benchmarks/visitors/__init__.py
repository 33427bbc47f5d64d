"""Visitors of the editor: its page by Streamlit's protocol, and what they do."""
