"""What people read: tables as text, charts, and self-contained HTML pages."""
