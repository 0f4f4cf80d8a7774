"""Switches: `linux` (a host with FRR, bridges and lldpd), `sonic` (CONFIG_DB and FRR), and a fake, for tests and demos.

ssh_shell.py        commands on a switch, through SSH
legal_steps.py      what no switch may be given
frr_config.py       the configuration of FRR, made of values; frr_state.py what FRR says, frr_shell.py the two together
linux_state.py      what a Linux host says; linux_commands.py what makes it what it is to be
sonic_tables.py     what SONiC's databases say; sonic_changes.py what is written into them; resp.py their protocol
"""
