"""Several instances of the bridge that share the accounts of one PostgreSQL database.

An instance runs an account as long as it holds the account's advisory lock. All its locks are on the one
connection on which it commits, so that whoever can commit holds the lock.

assignment            which accounts an instance takes and gives up: a function of what it sees
observation           what one instance sees of the others: who is silent, who is gone
tables                the rows and locks of the instances, and the SQL for them
configuration_digest  in which settings two instances differ
instance_lease        the row and heartbeats of one instance, and until when it may act
account_takeover      takes, starts and releases the accounts of one instance
"""
