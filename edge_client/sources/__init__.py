"""Where frames come from: folders, arrays, videos, cameras, standard input."""
