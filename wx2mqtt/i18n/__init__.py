"""Every sentence for people, in English and Chinese side by side."""
