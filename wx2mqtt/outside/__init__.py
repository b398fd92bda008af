"""What commands name outside of the bridge: files of this machine, and addresses on the network."""
