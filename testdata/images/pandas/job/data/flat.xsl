<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
  <xsl:output method="text"/>
  <xsl:template match="/data"><xsl:for-each select="row"><xsl:value-of select="code"/>=<xsl:value-of select="city"/>;</xsl:for-each></xsl:template>
</xsl:stylesheet>
