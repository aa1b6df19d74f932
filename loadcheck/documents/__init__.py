"""Text with positions: TOML, YAML and JSON documents whose every value knows its file and line."""
