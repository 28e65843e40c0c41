"""From a command line or a mapping to one resolved, validated run."""
