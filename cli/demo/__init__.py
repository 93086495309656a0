"""The demo: the whole pipeline on this machine, its worker killed twice, its bill checked."""
