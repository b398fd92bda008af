"""Who is who: from what WeChat shows in a login to a topic name that means the same person for ever."""
