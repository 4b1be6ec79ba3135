"""Handoff: a team watches an AI assistant's live chats and takes one over."""
