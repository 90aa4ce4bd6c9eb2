"""Sources of frames (folders, arrays, videos, cameras, standard input) and their pace."""
