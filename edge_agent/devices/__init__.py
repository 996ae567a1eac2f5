"""The devices of a site: polling them, their settings, and the commands around them."""
