"""Rules of networks, addresses, pools and numbers: the actions and holds that follow from differences."""
