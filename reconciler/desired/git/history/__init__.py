"""The past of documents: who changed each last, all of its versions, and which revision a time or a word means."""
