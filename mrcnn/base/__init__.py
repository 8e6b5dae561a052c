"""What every package may use and that knows none of them: errors, text, progress, processes, atomic writes, memory."""
