"""From records to intervals to forecasts, on the box."""
