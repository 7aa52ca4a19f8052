// What moves on the desk without being loaded again.
