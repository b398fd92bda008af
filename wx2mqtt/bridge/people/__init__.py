"""Recognises people across logins, so that a topic name always stands for the same person.

    wife has another handle after a new login  ->  she is recognised by her remark, and stays `in/wife`

registry.py     what other packages call; it calls the files below
binding.py      what becomes of each contact that WeChat lists or names
matching.py     which known person an unknown contact is, by rules
evidence.py     the facts that these rules, and pins, compare
pins.py         names of the configuration, and who is trusted by them
topic_names.py  makes a topic name of a remark or nickname
table.py        the people in memory, and what of them has changed
directory.py    the people as they are published on `contacts`

Words that all files use:

handle      WeChat's id of a contact; web WeChat gives a new one at each login
topic name  `wife` in `in/wife`; a former topic name still leads to its person
facts       what WeChat says about a contact, in normalised form
directory   the list of all contacts of a login, as WeChat has it
pin         a name in the configuration, and how to recognise the person who gets it
newcomer    a person made from a contact that matches nobody who is known
closed      a known person who may be a newcomer: gets no messages until the owner decides (`assign`)
stranger    a person who is not among the contacts
removed     a person who is no contact any more
"""
