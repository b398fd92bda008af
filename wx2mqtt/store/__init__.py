"""What must survive: the journal of both directions, the people, the saved logins."""
