"""Reverse proxies in front of the servers: nginx, HAProxy, Caddy and Envoy, from their wheels."""
