"""Built-in metrics, one module each; what a metric is says `promptbench.core.metric`."""
