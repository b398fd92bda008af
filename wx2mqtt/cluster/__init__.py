"""Several instances of the bridge that share the accounts of one PostgreSQL database.

An instance runs an account as long as it holds the account's advisory lock. All its locks are on the one
connection on which it commits, so that whoever can commit holds the lock.

assignment       which accounts an instance takes and gives up: a function of what it sees
tables           the rows and locks of the instances, and the SQL for them
account_takeover takes, starts and releases the accounts of one instance, which it keeps alive
"""
