"""Every server, and every framework on them: measured, and rendered into docs/compatibility.md."""
