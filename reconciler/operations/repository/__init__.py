"""Operations on the files of a repository: create one, validate one, and the demo's fleet."""
