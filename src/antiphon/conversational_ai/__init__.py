"""The import paths of the original SDK: `antiphon.conversational_ai.conversation` and `.default_audio_interface`."""
