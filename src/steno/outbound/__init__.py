"""Connections that the server makes to addresses which its clients name: recordings at URLs, callbacks of jobs.

A client must not reach through the server what only the server can reach: other services on its machine, the private
network, a cloud's metadata. So each host is resolved once, its addresses are checked, and the connection goes to the
checked address; redirects are checked like the first URL.
"""
