"""From a known video to a checked file, or checked sections of it: workers, pauses, retries, what kills leave."""
